"""
The surface of a search: its metric over the parameters, rather than its best trial alone.

    cells     every axis and every pair of axes cut into cells
    findings  the peak, the centre of the plateau, whether the peak lies on an edge, how many neighbours keep most of it
    page      its offline page
"""
