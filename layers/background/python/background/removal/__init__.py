"""Removal of accounts whose time is over."""
