"""The pages, one module for each question; each has its routes in `PAGES`."""
