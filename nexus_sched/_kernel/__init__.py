"""The compiled core: owns the arrays, checks rows, turns codes into errors. Numerics only, no policy."""
