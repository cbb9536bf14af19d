"""The report: `page` renders it from `tables`; each other module words or draws a part of it."""
