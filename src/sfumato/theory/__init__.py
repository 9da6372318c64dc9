"""The theory of noise-augmented training, computed exactly: regions, two noises and the remaining risk.

NumPy and SciPy only. Notation: class 1 is a region A; noise of standard deviation s followed by the
threshold 1/2 maps it to T_s A = {x : P(x + s Z in A) >= 1/2}; training with alpha and smoothing with beta
deploys T_beta T_alpha A, whose risk is Delta(alpha, beta) = mu(A xor T_beta T_alpha A) (Pal & Sulam 2023).
"""
