// JSON merge patch, JSON patch and strategic merge patch.
#include "patch.hpp"

#include "errors.hpp"

#include <algorithm>

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

json strategic_list(const Type *type, json target, const json &patch) {
    const std::string &key = type->merge_key;
    for (const auto &item : patch)
        if (text_of(item, "$patch") == "replace") {
            json out = json::array();
            for (const auto &other : patch)
                if (!find(other, "$patch"))
                    out.push_back(other);
            return out;
        }
    for (const auto &item : patch) {
        if (key.empty()) {
            if (std::find(target.begin(), target.end(), item) == target.end())
                target.push_back(item);
            continue;
        }
        const json *wanted = find(item, key);
        if (!wanted)
            throw ApiError::internal("map: " + dump(item) + " does not contain declared merge key: " + key);
        auto same = std::find_if(target.begin(), target.end(), [&](const json &one) {
            const json *have = find(one, key);
            return have && *have == *wanted;
        });
        if (text_of(item, "$patch") == "delete") {
            if (same != target.end())
                target.erase(same);
        } else if (same != target.end()) {
            *same = strategic_merge_patch(type->element, *same, item);
        } else {
            target.push_back(strategic_merge_patch(type->element, json::object(), item));
        }
    }
    return target;
}

bool directive(const std::string &name) { return name.starts_with("$"); }

} // namespace

json merge_patch(const json &target, const json &patch) {
    json out = target;
    out.merge_patch(patch);
    return out;
}

json json_patch(const json &target, const json &patch) {
    if (!patch.is_array())
        throw ApiError::bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch");
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
