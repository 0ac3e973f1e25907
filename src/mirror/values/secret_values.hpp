// Secrets: which kind holds them, which of its fields, and the digests that stand for their values in the database.
//
// A digest is `hmac-sha256:` and the HMAC-SHA256 (RFC 2104) of namespace, name, member and value in hexadecimal, under
// a key that the database keeps to itself (dbnet.digest_key): a value that changes is seen to change, one that two
// clusters share under one name is seen to be the same, and nobody can try out values without the key.
//
// Pure C++; mirror worker and SQL functions.
#pragma once

#include "kubernetes/object/path.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace dbnet::mirror {

// What dbnet.mirrored_relation.secret_values may be for such a kind.
inline constexpr char digest_values[] = "digest";
inline constexpr char plain_values[] = "plain";

bool holds_secrets(std::string_view group, std::string_view kind);

// A field of such a kind whose values are secret.
bool is_secret_field(const kubernetes::FieldPath &path);

// A field of such a kind in which a copy of the values may be, where they are not hidden: kubectl leaves one in an
// annotation.
bool may_hold_copy(const kubernetes::FieldPath &path);

// A field of such a kind that the server takes and never shows: stringData.
bool is_write_only_field(const kubernetes::FieldPath &path);

// The HMAC alone.
std::string keyed_digest(const std::string &message, std::string_view key);

// Puts digests in place of the values of an object of such a kind. The copy of them that `kubectl apply` leaves in an
// annotation goes altogether: a digest in its place could be sent back.
void hide_secret_values(nlohmann::json &object, std::string_view key);

} // namespace dbnet::mirror
