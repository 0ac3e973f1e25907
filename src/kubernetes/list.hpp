// One page of a list. Items of a list carry neither apiVersion nor kind; they are filled in. Used by the mirror worker.
#pragma once

#include "kubernetes/api.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace dbnet::kubernetes {

struct ListPage {
    std::vector<nlohmann::json> items;
    std::string resource_version; // of the list: where a watch starts; the same on every page
    std::string continue_token;   // "" on the last page, even when a page before it had no items
    int64_t remaining = -1;       // items on later pages as the server estimates; -1: not said
};

// Throws Failure when the body is no list.
ListPage parse_list(std::string_view body, const Resource &resource);

} // namespace dbnet::kubernetes
