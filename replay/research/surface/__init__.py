"""
What a search looks like: not its best trial alone.

    cells     each axis cut into cells; every pair of axes and every axis by itself
    findings  the peak, the centre of the plateau, whether the peak lies on an edge, how many neighbours keep most of it
    page      one offline page of it
"""
