"""Submit tasks and await their results, with or without asyncio."""
