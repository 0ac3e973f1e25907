// Series of Events (see event_series.hpp). Pure C++; mirror worker.
#include "bgworker/actuation/event_series.hpp"

#include <algorithm>
#include <functional>

#include "pg/no_postgres.hpp"

namespace dbnet::bgworker {

namespace {

constexpr int64_t similar_ms = 600'000; // what is further apart is told anew
constexpr size_t most_similar = 10;     // notes of one object and reason within that time; then they are told as one
constexpr size_t combined = 0;          // in the place of their hashes
constexpr int64_t burst = 25;           // requests for one object at once …
constexpr int64_t refill_ms = 300'000;  // … and then one in such a time

} // namespace

// The bucket as a time: each request moves it one refill on, and it is full when it lies a burst back.
bool EventSeries::take_token(Object &object, int64_t now_ms) {
    const int64_t since = std::max(object.tokens_ms, now_ms - burst * refill_ms);
    if (since + refill_ms > now_ms)
        return false;
    object.tokens_ms = since + refill_ms;
    return true;
}

EventSeries::Telling EventSeries::count(Series &series) {
    series.told = series.count;
    return {Telling::What::count, series.event, series.count, series.last_us};
}

EventSeries::Series *EventSeries::find(const std::string &object, int64_t event) {
    if (const auto found = objects_.find(object); found != objects_.end())
        for (auto &[reason, notes] : found->second.series)
            for (auto &[note, series] : notes)
                if (series.event == event)
                    return &series;
    return nullptr;
}

// The one that has been quiet longest makes room.
EventSeries::Object &EventSeries::object_for(const std::string &name, int64_t now_ms) {
    if (objects_.size() >= most_objects_ && !objects_.contains(name))
        objects_.erase(std::ranges::min_element(objects_, {}, [](const auto &entry) { return entry.second.last_ms; }));
    const auto [found, is_new] = objects_.try_emplace(name);
    if (is_new)
        found->second.tokens_ms = now_ms - burst * refill_ms;
    found->second.last_ms = now_ms;
    return found->second;
}

EventSeries::Telling EventSeries::happens(const std::string &object_name, const std::string &reason,
                                          const std::string &note, int64_t at_us, int64_t now_ms) {
    Object &object = object_for(object_name, now_ms);
    auto &notes = object.series[reason];
    std::erase_if(notes, [&](const auto &entry) { return entry.second.last_ms + similar_ms <= now_ms; });
    const size_t hash = std::hash<std::string>()(note);
    const bool is_one_of_many = !notes.contains(hash) && notes.size() >= most_similar;
    Series &series = notes[is_one_of_many ? combined : hash];
    series.count++;
    series.last_us = at_us;
    series.last_ms = now_ms;
    if (series.event != 0 && !series.is_there)
        return {Telling::What::later};
    if (!take_token(object, now_ms))
        return {Telling::What::too_much};
    if (series.event != 0)
        return count(series);
    series.event = at_us;
    series.count = series.told = 1; // an Event tells of one: what was too much before it is not told
    return {Telling::What::begin, at_us, 1, at_us, is_one_of_many};
}

std::optional<EventSeries::Telling> EventSeries::written(const std::string &object, int64_t event, int64_t now_ms) {
    Series *series = find(object, event);
    if (!series)
        return std::nullopt;
    series->is_there = true;
    if (series->told >= series->count || !take_token(objects_.at(object), now_ms))
        return std::nullopt;
    return count(*series);
}

void EventSeries::lost(const std::string &object, int64_t event) {
    if (const auto found = objects_.find(object); found != objects_.end())
        for (auto &[reason, notes] : found->second.series)
            std::erase_if(notes, [&](const auto &entry) { return entry.second.event == event; });
}

} // namespace dbnet::bgworker
