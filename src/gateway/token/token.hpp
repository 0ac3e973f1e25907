// Bearer tokens (tables of sql/50_token.sql): made from 256 random bits, recognised by their SHA-256. A token is never
// logged and is in no statement's text or arguments. Backends, gateway worker and api worker.
#pragma once

#include "gateway/http/request_headers.hpp"
#include "pg/guard.hpp"

#include <array>

namespace dbnet::gateway {

// A new one: dbnet_ and 43 characters of base64url.
std::string make_token();

using TokenHash = std::array<unsigned char, 32>;
TokenHash hash_of_token(std::string_view token) noexcept;

struct Token {
    int status = 401;    // 200: it lets in; 401: there is no such token, or no more; 403: not for this
    std::string message; // why it does not
    int64 id = 0;
    std::string name;
    Oid role = InvalidOid;
    std::string role_name;
    int connection_limit = -1;       // of the role; -1: none
    std::string login;               // another text when the role's settings or rank have changed: log in anew
    std::string resource_attributes; // JSON object: what everything delivered with it gets
};

inline constexpr const char *unknown_token = "the token is not known, or was revoked";

// Looks the token up, and whether its role still may do what it is for. Inside in_transaction() or in_spi() of who may
// read the tables (a worker). Nothing is cached: a token that is revoked ends with the commit that revokes it.
// scope: "api" or "ingest".
Token check_token(std::string_view token, const char *scope);

// Notes that it was used, now, from `client`: writes once a minute at most. In the same transaction as what it is used
// for, or one of its own.
void note_use(const Token &token, std::string_view client);

} // namespace dbnet::gateway
