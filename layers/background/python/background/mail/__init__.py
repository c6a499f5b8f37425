"""Mails: text, limits, and delivery by SES or SMTP."""
