"""How right predictors are, measured on recorded executions: predict, then learn.

`tasks` a trace as columns of tasks · `schedule` who is predicted and learned when · `drive` one predictor through
it, timed · `score` what its answers are worth · `candidates` predictors by name · `measure` all of these for one
trace · `table` the scores for people · `goals` what is to be reached · `chart` and `report` the page.
"""
