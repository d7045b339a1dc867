"""Who may do what: principals, how they show who they are, and what they are allowed."""
