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
constexpr int64_t look_ms = 60'000;     // between looks for objects that may be forgotten
constexpr int64_t burst = 25;           // requests for one object at once …
constexpr int64_t refill_ms = 300'000;  // … and then one in such a time

size_t hash_of(const std::string &text) {
    return std::hash<std::string>()(text);
}

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

EventSeries::Object *EventSeries::find(const std::string &name) {
    const auto found = objects_.find(hash_of(name));
    return found == objects_.end() ? nullptr : &found->second;
}

// An object whose series are over and whose bucket is full again is as one that was never told of.
void EventSeries::forget_quiet(int64_t now_ms) {
    std::erase_if(objects_, [now_ms](const auto &entry) {
        const Object &object = entry.second;
        return object.last_ms + similar_ms <= now_ms && object.tokens_ms + burst * refill_ms <= now_ms;
    });
    next_look_ms_ = now_ms + look_ms;
}

// Where there are too many, the one that has been quiet longest makes room.
EventSeries::Object &EventSeries::object_for(const std::string &name, int64_t now_ms) {
    Object *object = find(name);
    if (!object) {
        if (now_ms >= next_look_ms_)
            forget_quiet(now_ms);
        if (objects_.size() >= most_objects_)
            objects_.erase(
                std::ranges::min_element(objects_, {}, [](const auto &entry) { return entry.second.last_ms; }));
        object = &objects_[hash_of(name)];
        object->tokens_ms = now_ms - burst * refill_ms;
    }
    object->last_ms = now_ms;
    return *object;
}

EventSeries::Series &EventSeries::series_for(Object &object, size_t reason, size_t note, int64_t now_ms) {
    std::erase_if(object.series, [now_ms](const Series &series) { return series.last_ms + similar_ms <= now_ms; });
    const auto find_note = [&](size_t wanted) {
        return std::ranges::find_if(object.series, [=](const Series &series) { //
            return series.reason == reason && series.note == wanted;
        });
    };
    auto found = find_note(note);
    if (found == object.series.end() &&
        std::ranges::count(object.series, reason, &Series::reason) >= static_cast<ptrdiff_t>(most_similar)) {
        note = combined;
        found = find_note(note);
    }
    if (found != object.series.end())
        return *found;
    Series &series = object.series.emplace_back();
    series.reason = reason;
    series.note = note;
    return series;
}

EventSeries::Telling EventSeries::happens(const std::string &object_name, const std::string &reason,
                                          const std::string &note, int64_t at_us, int64_t now_ms) {
    Object &object = object_for(object_name, now_ms);
    Series &series = series_for(object, hash_of(reason), hash_of(note), now_ms);
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
    return {Telling::What::begin, at_us, 1, at_us, series.note == combined};
}

std::optional<EventSeries::Telling> EventSeries::written(const std::string &name, int64_t event, int64_t now_ms) {
    Object *object = find(name);
    if (!object)
        return std::nullopt;
    const auto series = std::ranges::find(object->series, event, &Series::event);
    if (series == object->series.end())
        return std::nullopt;
    series->is_there = true;
    if (series->told >= series->count || !take_token(*object, now_ms))
        return std::nullopt;
    return count(*series);
}

void EventSeries::lost(const std::string &name, int64_t event) {
    if (Object *object = find(name))
        std::erase_if(object->series, [event](const Series &series) { return series.event == event; });
}

} // namespace dbnet::bgworker
