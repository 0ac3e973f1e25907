// What DBNet keeps of an object that the server showed (list item, watch event, answer to a request): the row of
// dbnet.object in C++ form. Pure C++; used by the mirror worker.
#pragma once

#include "mirror/values/mapping.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace dbnet::mirror {

struct Observed {
    std::string name_space; // "" for cluster-scoped kinds
    std::string name;
    std::string uid;
    std::string resource_version;
    std::optional<int64_t> generation; // kinds without a generation have none
    std::string live;                  // the whole object without metadata.managedFields, as text that jsonb takes
    Fields values;                     // every mapped column but the keys
    // {path: [manager, time, another manager that owns the same as `field_manager` does: only if there is one]}; time
    // is null where the server recorded none
    Json managers = Json::object();
    std::set<std::string> owned;   // paths of which `field_manager` owns the whole or a part
    Json own_fields;               // FieldsV1 of what it applied; null: nothing
    std::string health;            // ready | in_progress | failed | terminating
    std::string health_message;    // why it is not ready, in the object's own words; "" when it says nothing
    std::string controller;        // "ReplicaSet/web-1" when another object controls this one, else ""
    std::string stamp;             // our annotation, if `field_manager` put it there, else ""
    std::string last_manager;      // who wrote to it last, "" when the server does not say
    bool terminating = false;      // metadata.deletionTimestamp is set
    bool is_created_by_us = false; // by an apply of `field_manager`, for certain
};

// `body`: the object, of which `text` is the JSON; apiVersion and kind may stand in the body alone, as in lists.
// `field_manager`: the mirror's. Throws kubernetes::Failure when the body is no object with a name.
Observed observe(Json body, std::string_view text, const Mapping &mapping, const std::string &field_manager);

} // namespace dbnet::mirror
