/* Writes to an address where nothing is. */
int main(void)
{
    int *volatile nowhere = (int *)16;
    *nowhere = 1;
    return 0;
}
