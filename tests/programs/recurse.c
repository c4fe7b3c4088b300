/* Uses the stack until there is no more. */
static int deeper(volatile char *above, unsigned long depth)
{
    volatile char frame[4096];
    frame[0] = above[0];
    return depth ? deeper(frame, depth - 1) + frame[1] : 0;
}

int main(void)
{
    volatile char start[1] = { 1 };
    return deeper(start, ~0ul);
}
