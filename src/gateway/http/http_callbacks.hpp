// Private to the HTTP server: what libmicrohttpd calls. No exception leaves any of them: where memory ends, the request
// is answered with 503, or its connection closed.
#pragma once

#include "gateway/http/http_server.hpp"

#include <microhttpd.h>

#include <vector>

namespace dbnet::gateway {

struct HttpCallbacks {
    // Options that make the library call the functions below with `server`.
    static void add(HttpServer &server, std::vector<MHD_OptionItem> &options);

    static MHD_Result on_access(void *server, MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *data, size_t *size, void **context) noexcept;

    static void refuse_while_stopping(Exchange &exchange) noexcept;
    // Runs what may throw; what throws is answered here.
    template<class F> static void guarded(Exchange &exchange, F &&f) noexcept;

private:
    static void on_connection(void *server, MHD_Connection *connection, void **context,
                              MHD_ConnectionNotificationCode code) noexcept;
    static void *on_request_line(void *server, const char *uri, MHD_Connection *connection) noexcept;
    static void on_completed(void *server, MHD_Connection *connection, void **context,
                             MHD_RequestTerminationCode code) noexcept;

    static MHD_Result start(Exchange &exchange, const char *url, const char *method) noexcept;
    static void look_at_headers(Exchange &exchange, size_t length);
    static void receive(Exchange &exchange, std::string_view piece);
    static MHD_Result finish(Exchange &exchange) noexcept;
    static MHD_Result send(Exchange &exchange) noexcept;
    static void refuse(Exchange &exchange, int status, std::string_view reason);
};

} // namespace dbnet::gateway
