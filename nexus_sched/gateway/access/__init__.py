"""Who may do what: `roles` and `table` say it, `tokens` keeps the proofs, `authority` decides. Default: nobody."""
