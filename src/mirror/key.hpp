// Names one object of one mirror. Plain C++; mirror worker and SQL functions.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace dbnet::mirror {

struct Key {
    uint32_t relation = 0;  // oid of the mirror table
    std::string name_space; // empty: cluster-scoped
    std::string name;

    auto operator<=>(const Key &) const = default;

    // 'namespace/name' or 'name', as everywhere in SQL.
    std::string text() const { return name_space.empty() ? name : name_space + "/" + name; }
};

struct KeyHash {
    size_t operator()(const Key &key) const noexcept {
        const size_t name = std::hash<std::string>()(key.name);
        const size_t name_space = std::hash<std::string>()(key.name_space);
        return name ^ (name_space * 0x9E3779B97F4A7C15u) ^ (static_cast<size_t>(key.relation) << 17);
    }
};

} // namespace dbnet::mirror
