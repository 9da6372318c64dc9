"""The interactive report: one HTML file that holds everything and asks for nothing.

``build`` puts it together; the figures are functions from data to a Plotly figure, one each.
"""
