// JSON merge patch, JSON patch and strategic merge patch.
#include "patch.hpp"

#include "errors.hpp"

#include <algorithm>
#include <functional>
#include <vector>

namespace kubesim {

namespace {

const Type *member_type(const Type *type, const std::string &name) {
    if (!type)
        return nullptr;
    if (type->shape == Type::Shape::structure) {
        const Field *field = type->field(name);
        return field ? field->type : nullptr;
    }
    return type->shape == Type::Shape::map ? type->element : nullptr;
}

// Elements of the patch in its order, and those only the object has, woven together by their places in the object;
// elements that are new come first.
json in_server_order(const json &patched, const json &rest, const std::function<int64_t(const json &)> &place) {
    json out = json::array();
    size_t i = 0, j = 0;
    while (i < patched.size() || j < rest.size()) {
        bool left = j >= rest.size() || (i < patched.size() && place(patched[i]) < place(rest[j]));
        out.push_back(left ? patched[i++] : rest[j++]);
    }
    return out;
}

json strategic_list(const Type *type, const json &target, const json &patch) {
    const std::string &key = type->merge_key;
    auto same = [&](const json &a, const json &b) {
        if (key.empty())
            return a == b;
        const json *left = find(a, key), *right = find(b, key);
        return left && right && *left == *right;
    };
    auto place = [&](const json &item) -> int64_t {
        for (size_t i = 0; i < target.size(); i++)
            if (same(target[i], item))
                return static_cast<int64_t>(i);
        return -1;
    };
    bool replace = false;
    json patched = json::array();
    std::vector<json> deleted;
    for (const auto &item : patch) {
        std::string what = text_of(item, "$patch");
        replace |= what == "replace";
        if (what == "delete")
            deleted.push_back(item);
        if (!what.empty())
            continue;
        if (!key.empty() && !find(item, key))
            throw ApiError::internal("map: " + go_value(item, false) + " does not contain declared merge key: " + key);
        int64_t at = place(item);
        patched.push_back(
            key.empty() ? item : strategic_merge_patch(type->element, at < 0 ? json::object() : target[at], item));
    }
    if (replace)
        return patched;
    auto among = [&](const auto &list, const json &item) {
        return std::any_of(list.begin(), list.end(), [&](const json &one) { return same(one, item); });
    };
    json rest = json::array();
    for (const auto &item : target)
        if (!among(patched, item) && !among(deleted, item))
            rest.push_back(item);
    return in_server_order(patched, rest, place);
}

bool directive(const std::string &name) {
    return name.starts_with("$");
}

} // namespace

json merge_patch(const json &target, const json &patch) {
    json out = target;
    out.merge_patch(patch);
    return out;
}

json json_patch(const json &target, const json &patch) {
    if (!patch.is_array())
        throw ApiError::bad_request("error decoding patch: json: cannot unmarshal " +
                                    std::string(patch.is_object() ? "object" : "value") +
                                    " into Go value of type []handlers.jsonPatchOp");
    try {
        return target.patch(patch);
    } catch (const json::exception &) {
        // The server's answer says nothing about the operation that failed.
        throw ApiError::generic(422, "Invalid", "the server rejected our request due to an error in our request");
    }
}

json strategic_merge_patch(const Type *type, const json &target, const json &patch) {
    if (!patch.is_object())
        return patch;
    std::string what = text_of(patch, "$patch");
    if (what == "delete")
        return json::object();
    json out = target.is_object() && what != "replace" ? target : json::object();
    if (const json *retain = find(patch, "$retainKeys"); retain && retain->is_array())
        for (auto it = out.begin(); it != out.end();)
            it = std::find(retain->begin(), retain->end(), json(it.key())) == retain->end() ? out.erase(it)
                                                                                            : std::next(it);
    for (const auto &[name, value] : patch.items()) {
        if (name.starts_with("$deleteFromPrimitiveList/")) {
            json &list = out[name.substr(name.find('/') + 1)];
            for (const auto &gone : value)
                if (auto it = std::find(list.begin(), list.end(), gone); it != list.end())
                    list.erase(it);
            continue;
        }
        if (directive(name))
            continue;
        if (value.is_null()) {
            out.erase(name);
            continue;
        }
        const Type *below = member_type(type, name);
        const json *have = find(out, name);
        if (value.is_object())
            out[name] = strategic_merge_patch(below, have ? *have : json::object(), value);
        else if (value.is_array() && below && below->patch_strategy.starts_with("merge"))
            out[name] = strategic_list(below, have && have->is_array() ? *have : json::array(), value);
        else
            out[name] = value;
    }
    return out;
}

} // namespace kubesim
