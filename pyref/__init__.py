"""NumPy/SciPy reference of dtdeconv: the specification that the C core and the OpenCL kernels are tested against."""
