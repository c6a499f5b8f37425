"""A SAM template as plain CloudFormation: Globals, the implicit API and events are resolved as on AWS."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CODE_BUCKET = "local-code"
_CODE_PROPERTIES = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
}
_PLAIN_CODE_PROPERTIES = {"AWS::Lambda::Function": "Code", "AWS::Lambda::LayerVersion": "Content"}


class TemplateUnusable(Exception):
    """The template cannot be read, or contains something that cannot be served. The text names the place."""


def translated(path: Path, *, region: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the SAM template at `path` as CloudFormation. Its code folders are addresses that lead nowhere.

    Raise TemplateUnusable.
    """
    template, _ = translated_with_folders(path, region=region, parameters=parameters or {})
    return template


def translated_with_folders(
    path: Path, *, region: str, parameters: Mapping[str, str]
) -> tuple[dict[str, Any], CodeFolders]:
    """Return the template as `translated` does, and the folders that its addresses of code stand for."""
    template = _read_yaml(path)
    folders = CodeFolders(path.resolve().parent)
    folders.hide(template)
    return _translate(template, {"AWS::Region": region, **parameters}), folders


def _read_yaml(path: Path) -> dict[str, Any]:
    from samtranslator.yaml_helper import yaml_parse
    from yaml import YAMLError

    try:
        template = yaml_parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateUnusable(f"template {path}: {error.strerror}") from error
    except YAMLError as error:
        raise TemplateUnusable(f"template {path}: {error}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise TemplateUnusable(f"template {path}: it has no Resources")
    return template


def _translate(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """Return the output of SAM's translator.

    Importing the translator takes 0.25 s, because it loads boto3, which is not used here.
    """
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it warns that AWS' own feature switches are missing
    translator = Translator({}, Parser(), boto_session=cast("Any", _Session(parameters["AWS::Region"])))
    try:
        plain = translator.translate(template, parameters, get_managed_policy_map=dict)
    except InvalidDocumentException as error:
        causes = "; ".join(str(cause.message) for cause in error.causes)
        raise TemplateUnusable(f"SAM cannot translate the template: {causes}") from error
    return cast("dict[str, Any]", plain)


@dataclass(frozen=True)
class _Session:
    """The only attribute of a boto3 session that the translator reads."""

    region_name: str


@dataclass
class CodeFolders:
    """The code folders of a template. The translator accepts no paths, so each folder has an address while it works.

    The address is s3://local-code/<number>, where the number is an index of `paths`.
    """

    root: Path
    paths: list[str] = field(default_factory=list)

    def hide(self, template: dict[str, Any]) -> None:
        """Replace every local code path of the template by its address."""
        self._hide_in(template.get("Globals", {}).get("Function", {}), "CodeUri")
        self._hide_in(template.get("Globals", {}).get("LayerVersion", {}), "ContentUri")
        for resource in template["Resources"].values():
            kind, properties = resource.get("Type"), resource.get("Properties", {})
            if kind in _CODE_PROPERTIES:
                self._hide_in(properties, _CODE_PROPERTIES[kind])
            elif kind in _PLAIN_CODE_PROPERTIES:
                self._hide_plain(properties, _PLAIN_CODE_PROPERTIES[kind])

    def folder(self, owner: str, code: Any) -> Path:
        """Return the folder of `code`, which is Code or Content of a translated resource. Raise TemplateUnusable."""
        if not isinstance(code, dict) or code.get("S3Bucket") != _CODE_BUCKET:
            raise TemplateUnusable(f"{owner}: its code must be a local folder")
        folder = self.root / self.paths[int(code["S3Key"])]
        if not folder.is_dir():
            raise TemplateUnusable(f"{owner}: there is no folder {folder}")
        return folder

    def _hide_in(self, properties: dict[str, Any], name: str) -> None:
        path = properties.get(name)
        if isinstance(path, str) and not urlsplit(path).scheme:
            properties[name] = f"s3://{_CODE_BUCKET}/{len(self.paths)}"
            self.paths.append(path)

    def _hide_plain(self, properties: dict[str, Any], name: str) -> None:
        path = properties.get(name)
        if isinstance(path, str):
            properties[name] = {"S3Bucket": _CODE_BUCKET, "S3Key": str(len(self.paths))}
            self.paths.append(path)
