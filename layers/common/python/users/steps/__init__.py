"""Steps that several operations share. Each joins rules, peers and the repository."""
