// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <utility>
module latchkey.test.torture_takeover;
import latchkey.core.time;
import latchkey.test.torture_notes;

namespace latchkey::test {
namespace {

Death lost(std::string story) {
  return {Cause::lost, std::move(story)};
}

std::string milliseconds_text(Duration time) {
  return std::to_string(time.count()) + " ms";
}

// The stop that cost this holder its lease before the other's claim.
const Stop* lapse_of(const RefreshNote& holder, TimePoint other_claim, std::span<const Stop> stops,
                     const ExpiringLease& lease) {
  const auto found = std::find_if(stops.begin(), stops.end(), [&](const Stop& stop) {
    if (stop.worker && *stop.worker != holder.worker) return false;
    const TimePoint from = std::max(stop.from, *holder.checked);
    const TimePoint until = std::min(stop.until, other_claim);
    return from < until && until - from >= lease.time / 2;
  });
  return found == stops.end() ? nullptr : &*found;
}

// Since when, at that moment, nothing has kept the holder from saving: neither a stop of its own
// nor one of the store.
TimePoint free_since(const RefreshNote& holder, TimePoint moment, std::span<const Stop> stops) {
  TimePoint since = *holder.claimed;
  for (const Stop& stop : stops) {
    if (stop.worker.value_or(holder.worker) == holder.worker && stop.from < moment)
      since = std::max(since, stop.until);
  }
  return since;
}

// What the first was doing when it was stopped, after the request that consumed the token was sent
// or while it was being sent.
Death death_of_unsaved(const RefreshNote& consumer, const Stop& stop) {
  if (!stop.worker) {
    return {Cause::unreachable,
            "who had its answer could not reach the database, and was taken "
            "over"};
  }
  const auto at_stop =
      std::find_if(stop.under_way.begin(), stop.under_way.end(),
                   [&](const RefreshNote& note) { return note.request == consumer.request; });
  if (at_stop == stop.under_way.end()) {
    return {Cause::check_gap, "who consumed it was stopped between its check and its request"};
  }
  if (at_stop->stage == Stage::posting) {
    return {Cause::paused_posting, "who had sent it was stopped before the answer, and taken over"};
  }
  return {Cause::paused_saving, "who had its answer was stopped before the save, and taken over"};
}

}  // namespace

Death judge_takeover(const RefreshNote* consumer, const RefreshNote* replayer,
                     std::span<const Stop> stops, const ExpiringLease& lease) {
  if (consumer == nullptr || replayer == nullptr || !consumer->claimed || !replayer->claimed) {
    return lost("it was sent twice, and not by two refreshes with claims");
  }
  if (!consumer->checked || !replayer->checked) {
    return lost("it was sent twice, once without a check of the lease");
  }
  if (consumer->saved && *replayer->checked > *consumer->saved) {
    return lost("it was sent again " + milliseconds_text(*replayer->checked - *consumer->saved) +
                " after its answer had been saved, in spite of a check");
  }
  const bool consumer_first = *consumer->claimed <= *replayer->claimed;
  const RefreshNote& first = consumer_first ? *consumer : *replayer;
  const RefreshNote& second = consumer_first ? *replayer : *consumer;
  if (const Duration apart = *second.claimed - *first.claimed; apart < lease.claim_age) {
    return lost("it was sent twice, and the claims are " + milliseconds_text(apart) + " apart");
  }
  const Stop* const lapse = lapse_of(first, *second.claimed, stops, lease);
  if (lapse == nullptr) {
    return lost("it was sent twice, and nobody had stood still long enough to lose the lease");
  }
  if (!consumer_first) {
    return {Cause::check_gap,
            "who sent it again had been stopped between its check and its "
            "request"};
  }
  if (consumer->saved) {
    return {Cause::check_gap,
            "its answer was saved between the check and the request of who had taken over"};
  }
  // Who takes over leaves it that time. Requests may last longer, but its answer was there already.
  const TimePoint free = free_since(first, *second.claimed, stops);
  if (!lapse->worker && *second.claimed - lease.claim_age >= free) {
    return lost("who had its answer could reach the database for " +
                milliseconds_text(*second.claimed - free) +
                " before it was sent again, and did not save it");
  }
  return death_of_unsaved(*consumer, *lapse);
}

}  // namespace latchkey::test
