// Paths into Kubernetes objects as users write them: spec.template.spec.containers[name=app].image,
// metadata.labels["app.kubernetes.io/name"]. Lists are addressed by the fields that identify an element, never by
// position. Used by the mirror worker and by backends (column maps, dbnet.get / set / unset).
//
//   path     = field { "." field | "[" string "]" | "[" selector { "," selector } "]" }
//   field    = letters, digits, "_", "-", "$"            anything else goes into ["…"], with JSON's escapes
//   selector = field "=" value;  value = string | integer | true | false | bare word
#pragma once

#include "kubernetes/failure.hpp"

#include <nlohmann/json_fwd.hpp>

#include <compare>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::kubernetes {

class PathError : public Failure {
public:
    PathError(const std::string &message, size_t position) : Failure(message), position_(position) {}
    // Byte offset into the text, from 0, where something else was expected.
    size_t position() const noexcept { return position_; }

private:
    size_t position_;
};

// One condition of a list selector. A number or boolean in text form also matches the string of the same text.
struct Selector {
    enum class Type { string, integer, boolean };
    std::string key;
    std::string value;
    Type type = Type::string;
    auto operator<=>(const Selector &) const = default;
};

// Either a field or map key (`selectors` empty), or the list element that all selectors match (`name` empty).
struct Segment {
    std::string name;
    std::vector<Selector> selectors;
    bool is_element() const noexcept { return !selectors.empty(); }
    auto operator<=>(const Segment &) const = default;
};

class FieldPath {
public:
    FieldPath() = default;
    explicit FieldPath(std::vector<Segment> segments) : segments_(std::move(segments)) {}

    // Throws PathError: names the position and what was expected there.
    static FieldPath parse(std::string_view text);

    // The path in a message or cause of the server: .spec.containers[name="app"].image, spec.ports[0].port. The server
    // does not quote map keys; keys of the well-known maps (labels, annotations, data …) are put together again.
    // A position or a set member ends the path at its list. Never throws on odd input: takes what it understands.
    static FieldPath from_server(std::string_view text);

    const std::vector<Segment> &segments() const noexcept { return segments_; }
    bool empty() const noexcept { return segments_.empty(); }
    std::string text() const;        // canonical: parse(text()) == *this
    std::string server_text() const; // as the server would print it: .metadata.labels.app.kubernetes.io/name
    FieldPath child(std::string_view name) const;
    FieldPath parent() const; // of an empty path: empty
    // True when this path is the other one or lies above it.
    bool contains(const FieldPath &other) const noexcept;

    auto operator<=>(const FieldPath &) const = default;

private:
    std::vector<Segment> segments_;
};

// The value at the path; nullptr when there is none. JSON null counts as a value.
const nlohmann::json *get(const nlohmann::json &document, const FieldPath &path);

// Puts a value at the path, creating objects, lists and list elements (with the selectors' fields) on the way. Throws
// Failure when something on the way is neither absent, null nor of the needed kind, naming where and what was found.
void set(nlohmann::json &document, const FieldPath &path, nlohmann::json value);

// Removes the value at the path and keeps what encloses it. False when there was none.
bool erase(nlohmann::json &document, const FieldPath &path);

// True when a list element has every field the segment asks for.
bool matches(const Segment &segment, const nlohmann::json &element);

} // namespace dbnet::kubernetes
