// What is told of an object as Events, and how often: what happens again is counted in the Event that told it first,
// and no object is told of without end. Numbers are those of Kubernetes' own clients. Pure C++ without I/O or clock;
// mirror worker.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace dbnet::bgworker {

class EventSeries {
public:
    explicit EventSeries(size_t most_objects = 4096) : most_objects_(most_objects) {}

    struct Telling {
        enum class What {
            begin,   // a new Event
            count,   // the series of one that is there
            later,   // with what follows: the Event is not there yet
            too_much // nothing for now
        };
        What what = What::begin;
        int64_t event = 0; // when it began, by which it is known
        int64_t count = 1;
        int64_t last_us = 0;
        bool is_combined = false; // a new Event for what has not one of its own any more
    };

    // It happens to an object (any text that names it). `at_us`: the wall clock's time, another one for each; `now_ms`:
    // a monotonic clock's.
    Telling happens(const std::string &object, const std::string &reason, const std::string &note, int64_t at_us,
                    int64_t now_ms);
    // The Event is there: from now on its series may be counted. What happened meanwhile, if there was something.
    std::optional<Telling> written(const std::string &object, int64_t event, int64_t now_ms);
    // It is not there (any more): what happens again is told anew.
    void lost(const std::string &object, int64_t event);

    size_t size() const { return objects_.size(); }

private:
    // Texts are known by their hashes: objects that come and go are many, and a day's Events are about most of them.
    struct Series {
        size_t reason = 0, note = 0;
        int64_t event = 0; // 0: none yet
        int64_t count = 0; // how often it has happened
        int64_t told = 0;  // of these, what the server has been told
        int64_t last_us = 0, last_ms = 0;
        bool is_there = false; // the server has said so
    };
    struct Object {
        std::vector<Series> series;
        int64_t tokens_ms = 0; // when the bucket was empty, or would have been
        int64_t last_ms = 0;
    };

    static bool take_token(Object &object, int64_t now_ms);
    static Telling count(Series &series);
    static Series &series_for(Object &object, size_t reason, size_t note, int64_t now_ms);
    Object *find(const std::string &name);
    Object &object_for(const std::string &name, int64_t now_ms);
    void forget_quiet(int64_t now_ms);

    const size_t most_objects_;
    std::unordered_map<size_t, Object> objects_; // by the hash of the name
    int64_t next_look_ms_ = 0;                   // when an object that comes lets quiet ones be forgotten
};

} // namespace dbnet::bgworker
