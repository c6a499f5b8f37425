"""Plain SQL, one module per subject. Every function is one statement, hence one round trip and one transaction."""
