"""
Pictures of the dashboards, drawn here from what a Prometheus answers to their panels' queries: no screenshots of Grafana.

    results  every query of every panel, asked as Grafana asks it
    units    numbers in the panels' units
    places   where each panel lies, a repeated one once for each value of its variable
    charts   a panel with axes: lines, points, heat maps
    figures  a panel without: figures, bars, tables
    page     a whole dashboard as SVG
"""
