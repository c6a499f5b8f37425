"""Reads a SAM template into a Stack (local/gateway/stack.py).

translation.py lets SAM's own translator make plain CloudFormation of the template, and resources.py evaluates that with
intrinsics.py. functions.py, api.py and schedules.py read the parts of the Stack.
"""

from local.gateway.template.reader import read_stack
from local.gateway.template.translation import TemplateUnusable, translated

__all__ = ["TemplateUnusable", "read_stack", "translated"]
