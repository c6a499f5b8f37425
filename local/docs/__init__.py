"""The API's description: its form for the function that serves it, and the page for reading and trying it."""
