"""Who may see and do what: hosts, users, sessions, roles, and the headers of each answer."""
