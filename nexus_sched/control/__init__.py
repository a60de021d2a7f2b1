"""What people change, whoever asks for it: command line and API use the same functions, and give the same answers.

Every change is a command in the ordered log, and a record in the audit trail that was written before it. `dry_run` says
what would come of it and changes nothing.

`desk` carries a change out · `workers`, `tasks`, `pool`, `overrides` what can be changed · `record`, `trail`, `verify`
the audit trail · `views` the answers.
"""
