"""Administration of accounts outside the API: single accounts, and the transfer of many."""
