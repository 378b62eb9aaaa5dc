"""The page in the browser: a dancer with a body, in a process of its own."""
