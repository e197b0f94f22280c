"""Wrong calls: type checkers must flag each of these lines, and no other."""

import numpy as np

import fastloss as fl

x = np.ones((2, 3))
y = np.array([0, 1])

fl.cross_entropy(x)  # flagged
fl.cross_entropy(x, y, None)  # flagged
fl.cross_entropy(x, y, reduction="men")  # flagged
fl.cross_entropy(x, y, label_smothing=0.1)  # flagged
fl.cross_entropy(x, y, n_threads=1.5)  # flagged
fl.cross_entropy(x, y, out=x)  # flagged
fl.cross_entropy.grad(x, y, out=[1.0])  # flagged
fl.cross_entropy.grad(x, y, wrt="target")  # flagged
fl.cross_entropy.grad_and_hess(x, y, out=x)  # flagged
fl.mse_loss.grad(x, x, wrt="weight")  # flagged
fl.hinge_loss(x, y, labels="-1")  # flagged
fl.multi_margin_loss(x, y, p=3)  # flagged
fl.softmax_focal_loss(x, y, gamma="2")  # flagged
fl.gaussian_nll_loss(x, x)  # flagged
fl.zero_one_loss.grad(x, x)  # flagged
fl.ZeroOneLoss().grad(x, x)  # flagged
fl.ZeroOneLoss().value_and_grad(x, x)  # flagged
fl.ZeroOneLoss(reduction="none").grad_and_hess(x, x)  # flagged
fl.poisson_nll_loss(x, x, full="yes")  # flagged
fl.huber_loss.hess(x, x)  # flagged
fl.CrossEntropyLoss(smoothing=0.1)  # flagged
fl.CrossEntropyLoss(reduction="max")  # flagged
fl.MSELoss().grad(x, x, wrt="weight")  # flagged
fl.MSELoss(reduction="none")(x, x).is_integer()  # flagged
fl.combine([(fl.mse_loss, "1")])  # flagged
fl.combine(fl.mse_loss)  # flagged
fl.softmax(x, dim=1)  # flagged
fl.one_hot(y)  # flagged
fl.set_num_threads("2")  # flagged
fl.show_config(mode="json")  # flagged
fl.cross_entropy(x, y).shape  # flagged
fl.cross_entropy(x, y, reduction="none").is_integer()  # flagged
fl.no_such_loss(x, y)  # flagged
