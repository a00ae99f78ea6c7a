def pytest_addoption(parser):
    parser.addoption("--prototype", metavar="DIR", default=None,
                     help="checkout of the Cython prototype, built in place, to compare with")
