// Events (events.k8s.io/v1): what `kubectl describe` shows below an object, as DBNet writes them. Pure C++; mirror
// worker.
#pragma once

#include "kubernetes/api.hpp"
#include "kubernetes/request.hpp"

#include <cstdint>
#include <string>

namespace dbnet::kubernetes {

struct ObjectEvent {
    Resource resource; // of the object that it is about
    std::string name_space, name;
    std::string uid; // of the object; empty: there is none, or it is not known
    bool is_warning = false;
    std::string reason;   // UpperCamelCase
    std::string action;   // what was done, or was to be
    std::string note;     // for people; cut to what servers take
    std::string instance; // of what writes it; likewise
    int64_t at_us = 0;    // since 1970; tells it from others about the object
};

const Resource &object_event_resource();

// Where it is kept: in the object's namespace, of one that has none in `default`.
std::string object_event_namespace(const ObjectEvent &event);

// A name for it that no other has.
std::string object_event_name(const ObjectEvent &event);

Request create_object_event_request(const ObjectEvent &event);

// It has happened so many times by now, the last time then: nothing else of an Event may be changed. At least twice.
Request object_event_series_request(const ObjectEvent &event, int64_t count, int64_t last_us);

// At most 1024 bytes that end with a whole character.
std::string object_event_note(std::string note);

} // namespace dbnet::kubernetes
