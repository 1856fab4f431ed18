/* Asks the C library for names, as programs do: what it was told, one line a word.
 *
 *   lookup addresses NAME [4|6]   getaddrinfo
 *   lookup name ADDRESS           getnameinfo
 *   lookup records NAME TYPE      res_query: the number of answers
 */
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int fail(int error)
{
    printf("%s\n", error == EAI_AGAIN ? "try again" : "no such name");
    return 0;
}

static int addresses(const char *name, const char *family)
{
    struct addrinfo hints = {0}, *list, *it;
    char text[NI_MAXHOST];
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_family = !family ? AF_UNSPEC : *family == '4' ? AF_INET : AF_INET6;
    int error = getaddrinfo(name, NULL, &hints, &list);
    if (error)
        return fail(error);
    for (it = list; it; it = it->ai_next) {
        getnameinfo(it->ai_addr, it->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
        puts(text);
    }
    return 0;
}

static int name(const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char text[NI_MAXHOST];
    int is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
        return 2;
    int error = getnameinfo(is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
                            is_v4 ? sizeof v4 : sizeof v6, text, sizeof text, NULL, 0, NI_NAMEREQD);
    if (error)
        return fail(error);
    puts(text);
    return 0;
}

static int records(const char *name, int type)
{
    static unsigned char answer[65536];
    int length = res_query(name, ns_c_in, type, answer, sizeof answer);
    if (length < 12)
        return fail(h_errno == TRY_AGAIN ? EAI_AGAIN : EAI_NONAME);
    printf("%d\n", answer[6] << 8 | answer[7]);
    return 0;
}

int main(int count, char **words)
{
    if (count >= 3 && !strcmp(words[1], "addresses"))
        return addresses(words[2], count > 3 ? words[3] : NULL);
    if (count == 3 && !strcmp(words[1], "name"))
        return name(words[2]);
    if (count == 4 && !strcmp(words[1], "records"))
        return records(words[2], atoi(words[3]));
    return 2;
}
