// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>
module latchkey.bench.postgres.rounds;

namespace latchkey::bench {
namespace {

using std::chrono::steady_clock;

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

Figure figure_of(const std::vector<double>& values) {
  const auto [least, most] = std::ranges::minmax(values);
  return {.median = median_of(values), .least = least, .most = most};
}

double median_time(const Case& one, std::size_t calls) {
  std::vector<double> times;
  for (std::size_t call = 0; call < calls; ++call) {
    one.prepare();
    const auto began = steady_clock::now();
    one.run();
    const std::chrono::duration<double, std::micro> time = steady_clock::now() - began;
    one.clean();
    times.push_back(time.count());
  }
  return median_of(std::move(times));
}

}  // namespace

Rounds::Rounds(const std::vector<Case>& cases, std::size_t rounds, std::size_t calls) {
  for (std::size_t round = 0; round <= rounds; ++round) {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const Case& one = cases[(i + round) % cases.size()];
      const double time = median_time(one, calls);
      if (round > 0) medians_[one.name].push_back(time);
    }
  }
}

Figure Rounds::time(const std::string& name) const {
  return figure_of(medians_.at(name));
}

Figure Rounds::ratio(const std::string& name, const std::string& to) const {
  const auto& above = medians_.at(name);
  const auto& below = medians_.at(to);
  std::vector<double> ratios;
  std::ranges::transform(above, below, std::back_inserter(ratios), std::divides<>());
  return figure_of(ratios);
}

}  // namespace latchkey::bench
