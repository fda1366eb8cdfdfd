"""Charts as SVG, drawn for the eye: positions are floats, every figure beside a chart is exact."""
