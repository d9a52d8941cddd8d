"""Section 4.2.2: three ways to add noise, their β, and the signal ᾱ left: `python examples/noise_schedules.py`"""

from kakusan import schedules

# Any betas of your own make a chain as well: schedules.Chain(betas).
chains = {"linear": schedules.linear(1000), "cosine": schedules.cosine(1000), "quadratic": schedules.quadratic(1000)}

print(f"{'schedule':9}  {'smallest β':>10}  {'largest β':>10}  {'last ᾱ':>10}")
for name, chain in chains.items():
    print(f"{name:9}  {chain.betas.min():10.3g}  {chain.betas.max():10.3g}  {chain.alphas_cumprod[-1]:10.3g}")

print("\nᾱ along the way")
print(f"{'index':>5}" + "".join(f"{name:>12}" for name in chains))
for index in range(0, 1000, 111):
    print(f"{index:5}" + "".join(f"{chain.alphas_cumprod[index]:12.5g}" for chain in chains.values()))
