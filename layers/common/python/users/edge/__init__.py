"""Where requests come in and answers go out: HTTP, scheduled and internal events, authentication, pages."""
