# In how many ways can an input reach an output?
# Three layers forwards, then one layer in both directions.
from rnncourse.deep.numpy import count_paths, parameter_count

print(count_paths(5, 3, "forward"))
print(count_paths(5, 1, "bidirectional"))
for layers in (1, 2, 3):
    count = parameter_count("lstm", 50, 100, layers)
    print(f"{layers} LSTM layers of 100 units: {count:,} parameters")
