"""The API's description in the forms that functions serve, and the generated parts of docs/."""
